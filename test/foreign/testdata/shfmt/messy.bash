#!/bin/bash
if [ "$a"   =  b ] ; then
      echo   yes;   else
 echo no ;fi
for  i in 1 2   3 ; do  echo $i |   cat; done
foo  (  ) { echo   $(  ls  ) && (  echo  sub  ) ; }
case x in  a|b ) echo 1 ;; * )
echo 2 ;; esac
cat   <<EOF2  >  out
   text
EOF2
x=`date`; y=$(( 1+2 * 3 )) ; [[ -n "$x"  ]]||echo none   # comment
